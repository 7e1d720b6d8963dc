// What the repository tests look at: the project's own files and the import and export statements in them.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const FOREIGN = new Set(['node_modules', 'dist', 'coverage', '.git', '.cache']);

/** The paths of the project's files under a folder, relative to the project's folder; what is installed or made is left out. */
export function filesUnder(folder: string, ending: RegExp = /./): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => ending.test(path) && !path.split('/').some((part) => FOREIGN.has(part)))
    .sort();
}

/** The text of a file of the project. */
export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The code without its comments; enough for finding statements, not a parser. */
export const withoutComments = (code: string): string =>
  code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');

/** A module that the code names. */
export interface Import {
  readonly specifier: string;
  /** Gone when the code runs. */
  readonly typeOnly: boolean;
}

/** Every module that the code names: static, type-only, dynamic and re-exporting. */
export function importsOf(code: string): Import[] {
  const statements =
    /^\s*(?:import|export)\b( type\b)?[^;'"]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/gm;
  return [...withoutComments(code).matchAll(statements)].map((match) => ({
    specifier: String(match[2] ?? match[3]),
    typeOnly: match[1] !== undefined,
  }));
}

/** The path of a relative import, from the project's folder. */
export const resolveImport = (from: string, specifier: string): string => posix.join(dirname(from), specifier);

/** The names in the `export { … } from '…'` groups of an entry file, each with the name and the file that it comes from. */
export function reexportsOf(path: string): { name: string; original: string; from: string }[] {
  const groups = withoutComments(read(path)).matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)'/gm);
  return [...groups].flatMap((group) =>
    String(group[1])
      .split(',')
      .map((item) => item.trim().replace(/^type /, ''))
      .filter(Boolean)
      .map((item) => {
        const [original, name = original] = item.split(' as ');
        return { name: String(name), original: String(original), from: resolveImport(path, String(group[2])) };
      }),
  );
}
