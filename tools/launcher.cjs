#!/usr/bin/env node
"use strict";
// Runs the bundle of the same name, with what V8 had compiled of it at the end of a run when it was built: a tenth of the
// start of a command. Another V8 refuses that by itself, and then compiles as ever. Both stand in one file (see
// fast-start.mjs): V8 tells by its length alone whether a program is the one that it had compiled.
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");

const filename = `${__filename.slice(0, -".cjs".length)}.bundle`;
const file = readFileSync(filename);
const end = 16 + Number(file.latin1Slice(0, 16)); // esbuild writes ASCII only
const cachedData = end < file.length ? file.subarray(end) : undefined;
const script = new Script(file.latin1Slice(16, end), { filename, cachedData });
script.runInThisContext()(exports, require, module, filename, __dirname);
