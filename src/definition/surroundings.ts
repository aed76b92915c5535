/** What a network file is checked against outside of itself; tests put their own in its place. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';

export interface Surroundings {
  /** Whether a readable file (not a directory) is there. */
  isFile(path: string): boolean;
  /** Absolute path of a program by its absolute path, or by its name on PATH; undefined when there is none. */
  findProgram(nameOrPath: string): string | undefined;
}

const allows = (path: string, mode: number): boolean => {
  try {
    accessSync(path, mode);
    return !statSync(path).isDirectory();
  } catch {
    return false;
  }
};

/** This machine: its files, and the PATH of this process. */
export const thisMachine: Surroundings = {
  isFile: (path) => allows(path, constants.R_OK),
  findProgram(nameOrPath) {
    const places = nameOrPath.includes('/')
      ? ['']
      : (process.env['PATH'] ?? '').split(delimiter).filter(Boolean);
    return places.map((place) => resolve(place, nameOrPath)).find((path) => allows(path, constants.X_OK));
  },
};
