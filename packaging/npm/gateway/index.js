// Where the gateway's program is: in the package of this platform, which npm installs beside this
// one because it is among its `optionalDependencies`.
"use strict";

const { dirname, join } = require("node:path");
const { version, optionalDependencies } = require("./package.json");

const NAME = process.platform === "win32" ? "hallward.exe" : "hallward";

function find() {
  const wanted = `@hallward/gateway-${process.platform}-${process.arch}`;
  const built = Object.keys(optionalDependencies);
  try {
    return join(dirname(require.resolve(`${wanted}/package.json`)), "bin", NAME);
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Error(built.includes(wanted) ? missing(wanted) : unbuilt());
  }

  function unbuilt() {
    const platform = `${process.platform} on ${process.arch}`;
    return `there is no gateway for ${platform}, only ${built.join(", ")}; build it from source`;
  }
}

function missing(wanted) {
  return (
    `the package ${wanted} is missing, which has the gateway's program. Optional dependencies ` +
    "were left out (--omit=optional, --no-optional), node_modules or the lock file comes from " +
    "another platform, or this system has another C library than glibc. Try: " +
    `npm install ${wanted}@${version}`
  );
}

let path;

/** @type {string} */
Object.defineProperty(exports, "path", { enumerable: true, get: () => (path ??= find()) });
