#!/usr/bin/env node
/**
 * Writes docs/demo.svg, the recorded terminal of the README: plays the demo on a terminal and draws what it prints, slowed down so that a
 * person can read along. Run it (`node tools/picture.mjs`, needs python3) when the demo prints something else; its test compares.
 */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { captured } from "./system.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const TARGET = path.join(root, "docs/demo.svg");
const PLAY_WITHIN_MS = 60_000;
/** Node has no terminal to give; Python has one on Linux and macOS. */
const ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

const ROWS = 24;
const COLUMNS = 82;
const LINE = 19;
const CHARACTER = 8.05;
const EDGE = 18;
const BAR = 34;
const SECONDS_PER_LINE = 0.4;
/** A look at the beginning before anything moves, and at the end before it begins anew. */
const [PAUSE_BEFORE, PAUSE_AFTER] = [1, 6];
const CLASSES = { 1: "b", 2: "d", 31: "r", 32: "g", 36: "c" };
const COLORS = { b: "#ffffff", d: "#8b949e", r: "#ff7b72", g: "#56d364", c: "#76d9e6" };

/** Spaces of their own kind, which no viewer of SVG folds. */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(" ", "\u00a0");

/** A line as it came, with its colours as classes: `\u001b[`, a number and `m` begin one. */
function spans(line) {
  const [first, ...coloured] = line.split("\u001b[");
  const parts = coloured.map((part) => {
    const [code, text] = [part.slice(0, part.indexOf("m")), escaped(part.slice(part.indexOf("m") + 1))];
    return CLASSES[code] === undefined || text === "" ? text : `<tspan class="${CLASSES[code]}">${text}</tspan>`;
  });
  return [escaped(first), ...parts].join("");
}

/** Each line appears in its turn, and what does not fit moves up. */
function animation(count) {
  const seconds = PAUSE_BEFORE + count * SECONDS_PER_LINE + PAUSE_AFTER;
  const at = (line) => `${((100 * (PAUSE_BEFORE + line * SECONDS_PER_LINE)) / seconds).toFixed(2)}%`;
  const appears = (line) => `@keyframes l${line}{0%{opacity:0}${at(line)}{opacity:1}}`;
  const moves = Array.from(
    { length: Math.max(0, count - ROWS) },
    (_, i) => `${at(i + ROWS)}{transform:translateY(${-LINE * (i + 1)}px)}`,
  );
  const lines = Array.from({ length: count }, (_, i) => i).slice(1);
  return [
    `@keyframes up{0%{transform:translateY(0)}${moves.join("")}}`,
    ...lines.map(appears),
    `@media (prefers-reduced-motion: no-preference){`,
    `.up{animation:up ${seconds}s step-end infinite}`,
    ...lines.map((line) => `.l${line}{animation:l${line} ${seconds}s step-end infinite}`),
    `}`,
  ].join("\n");
}

function picture(lines) {
  const width = Math.round(2 * EDGE + COLUMNS * CHARACTER);
  const height = BAR + ROWS * LINE + EDGE;
  const text = lines.map(
    (line, i) => `<text class="l${i}" x="${EDGE}" y="${BAR + LINE * (i + 1) - 5}">${spans(line)}</text>`,
  );
  const colors = Object.entries(COLORS).map(([name, color]) => `.${name}{fill:${color}}`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>npm run demo: three agents ask for a review, agree on a contract, and one of them was away</title>
<style>
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3}
${colors.join("")}.b{font-weight:bold}
${animation(lines.length)}
</style>
<rect width="${width}" height="${height}" rx="8" fill="#161b22"/>
<circle cx="20" cy="17" r="5" fill="#484f58"/><circle cx="38" cy="17" r="5" fill="#484f58"/><circle cx="56" cy="17" r="5" fill="#484f58"/>
<svg y="${BAR}" width="${width}" height="${ROWS * LINE}" viewBox="0 ${BAR} ${width} ${ROWS * LINE}"><g class="up">
${text.join("\n")}
</g></svg>
</svg>
`;
}

const played = await captured(
  ["python3", "-c", ON_A_TERMINAL, process.execPath, path.join(root, "dist/coord.cjs"), "demo"],
  {
    withinMs: PLAY_WITHIN_MS,
    cwd: root,
    env: { ...process.env, TERM: "xterm-256color", NO_COLOR: "" },
  },
);
await writeFile(TARGET, picture(["$ npm run demo", ...played.trimEnd().split(/\r?\n/)]));
