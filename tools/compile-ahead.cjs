"use strict";
// Preloaded by the build (node -r) into a run of a program: writes what V8 has compiled of its bundle, for fast-start.mjs.
const { writeFileSync } = require("node:fs");
const v8 = require("node:v8");
const vm = require("node:vm");

// The server sets one after a second, which a busy machine needs to start it: what is compiled then, V8 refuses without it.
v8.setFlagsFromString = () => undefined;

const { Script } = vm;
vm.Script = class extends Script {
  constructor(source, options) {
    super(source, options);
    // At the end and not now: by then the functions that such a run calls are compiled as well.
    process.on("exit", () => writeFileSync(`${options.filename}.v8`, this.createCachedData()));
  }
};
