/** Changes the register: one at a time, and nobody ever reads half of it. */
import { type Register, readRegister } from "../client/register.ts";
import { LIMITS } from "../protocol/definition.ts";
import { invalid } from "../protocol/validation.ts";
import { changeLocked } from "./locked-file.ts";

/**
 * @param edit gets the register and changes it
 * @param besides what is to be done with the change or not at all: where it throws, the register is as it was
 * @throws CoordinationError INVALID where it cannot be read or written, TIMEOUT where another holds it
 */
export function changeRegister(file: string, edit: (register: Register) => void, besides?: () => void): void {
  const compose = (): string => {
    const register = readRegister(file);
    edit(register);
    const text = `${JSON.stringify({ version: 1, projects: register }, undefined, 2)}\n`;
    if (Buffer.byteLength(text) > LIMITS.register_bytes) {
      throw invalid(`${file} would have more than ${LIMITS.register_bytes} bytes.`, "Remove projects that are gone.");
    }
    return text;
  };
  changeLocked(file, compose, besides);
}
