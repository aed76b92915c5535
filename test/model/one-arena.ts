/**
 * A Switch maps an arena for the life of its process; a search makes tens of thousands of them. Test files give all the
 * same one, which is right because they are used one after the other:
 *
 *   vi.mock('../../src/sys/memory.js', async (original) => oneArena(await original()));
 */
type Memory = typeof import('../../src/sys/memory.js');

export function oneArena(real: Memory): Memory {
  const arenas = new Map<number, ReturnType<Memory['mapArena']>>();
  return {
    ...real,
    mapArena: (length) => {
      const arena = arenas.get(length) ?? real.mapArena(length);
      arenas.set(length, arena);
      return arena;
    },
  };
}
