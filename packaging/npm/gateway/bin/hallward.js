#!/usr/bin/env node
// The command `hallward`. Where Node.js can (22.15 and newer), the gateway takes the place of this
// process. Elsewhere it is a child, to which signals are passed on, and whose end is ours.
"use strict";

const { spawn } = require("node:child_process");
const { accessSync, constants, readFileSync } = require("node:fs");

const program = findProgram();
const given = process.argv.slice(2);

if (process.execve && process.platform !== "win32") {
  process.execve(program, [program, ...given], process.env);
} else {
  accompany(spawn(program, given, { stdio: "inherit" }));
}

function findProgram() {
  try {
    const { path } = require("../index.js");
    accessSync(path, constants.X_OK);
    return path;
  } catch (error) {
    return fail(error.message);
  }
}

function fail(why) {
  console.error(`hallward: ${why}`);
  process.exit(1);
}

function accompany(gateway) {
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => gateway.kill(signal));
  // A terminal tells both of us, and the gateway takes a second one for impatience.
  process.on("SIGINT", () => isTold() || gateway.kill("SIGINT"));
  gateway.on("error", (error) => fail(`${program} cannot be started: ${error.message}`));
  gateway.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** Whether we are what a terminal shows: then its Ctrl-C goes to the gateway, too. */
function isTold() {
  if (process.platform !== "linux") return process.stdin.isTTY === true;
  // After the name in brackets, which may contain anything: state, parent, group, session,
  // terminal, the group that has the terminal.
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1).split(" ");
  const [group, shown] = [fields[2], fields[5]];
  return group === shown;
}
