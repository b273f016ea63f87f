"use strict";
// Runs a bundle that lies beside the program, with what V8 had compiled of it at the end of a run when it was built: a
// tenth of the start of a command. Another V8 refuses that by itself, and then compiles as ever. Both stand in one file (see
// fast-start.mjs): V8 tells by its length alone whether a program is the one that it had compiled.
module.exports = function launch(name) {
  const { closeSync, openSync, readSync } = require("node:fs");
  const { Script } = require("node:vm");
  const filename = `${__dirname}/${name}.bundle`;
  const file = openSync(filename);
  const head = Buffer.allocUnsafe(32);
  readSync(file, head);
  const [sourceBytes, compiledBytes] = head.latin1Slice().split(" ").map(Number);
  // Both into the same memory, one after the other, and at its start: touching new pages, and the copy that V8 makes of
  // what is not aligned, took a twentieth of the start.
  const memory = Buffer.allocUnsafeSlow(Math.max(sourceBytes, compiledBytes));
  const source = memory.latin1Slice(0, readSync(file, memory, 0, sourceBytes)); // esbuild writes ASCII only
  const cachedData = memory.subarray(0, readSync(file, memory, 0, compiledBytes));
  closeSync(file);
  const program = { exports: {} };
  const script = new Script(source, { filename, cachedData });
  script.runInThisContext()(program.exports, require, program, filename, __dirname);
  return program.exports;
};
