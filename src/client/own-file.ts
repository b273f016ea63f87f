/** Files that only our own programs write, read so that nothing put in their place can hold up a start or be taken for them. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A link is not followed; the opening of a pipe without a writer, or of a terminal, does not wait. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** @returns undefined for what is absent, no plain file of this user, or longer than `bytes` */
export function readOwnFile(path: string, bytes: number): string | undefined {
  let file: number;
  try {
    file = openSync(path, FLAGS);
  } catch {
    return undefined;
  }
  try {
    // Asked of what was opened: the name may lead elsewhere by now.
    const stat = fstatSync(file);
    if (!stat.isFile() || stat.uid !== process.getuid?.() || stat.size > bytes) return undefined;
    const buffer = Buffer.alloc(bytes + 1); // it may grow meanwhile
    let read = 0;
    for (let last = -1; last !== 0 && read < buffer.length; read += last) {
      last = readSync(file, buffer, read, buffer.length - read, null);
    }
    return read > bytes ? undefined : buffer.toString("utf8", 0, read);
  } catch {
    return undefined;
  } finally {
    closeSync(file);
  }
}
