// @ts-check
/** Account of one flow of numbered datagrams at its receiver: what came once, twice, late or not at all. */

/** @typedef {{ distinct: number, duplicated: number, reordered: number, highest: number }} Received */

export class FlowAccount {
  #next = 0;
  #distinct = 0;
  #duplicated = 0;
  #reordered = 0;
  /** Numbers passed over; they may still come, late. @type {Set<number>} */
  #missing = new Set();

  /** @param {number} number */
  take(number) {
    if (number >= this.#next) {
      for (let passed = this.#next; passed < number; passed++) this.#missing.add(passed);
      this.#next = number + 1;
      this.#distinct++;
    } else if (this.#missing.delete(number)) {
      this.#reordered++;
      this.#distinct++;
    } else this.#duplicated++;
  }

  /** @returns {Received} */
  summary() {
    return {
      distinct: this.#distinct,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      highest: this.#next - 1,
    };
  }
}
