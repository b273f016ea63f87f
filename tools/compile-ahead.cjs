"use strict";
// Preloaded by the build (node -r) into a run of a program: writes what V8 has compiled of its bundle, for fast-start.mjs.
const { writeFileSync } = require("node:fs");
const vm = require("node:vm");

const { Script } = vm;
vm.Script = class extends Script {
  constructor(source, options) {
    super(source, options);
    // At the end and not now: by then the functions that such a run calls are compiled as well.
    process.on("exit", () => writeFileSync(`${options.filename}.v8`, this.createCachedData()));
  }
};
