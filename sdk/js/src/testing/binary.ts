/** Where the gateway's program is. */

import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

const NAME = process.platform === "win32" ? "hallward.exe" : "hallward";

/** By option, `HALLWARD_BIN`, the package `@hallward/gateway`, `PATH`, in this order. */
export function findGateway(option?: string): string {
  const said = option ?? process.env["HALLWARD_BIN"];
  if (said) return said;
  const found = packaged() ?? onPath();
  if (found) return found;
  throw new Error(
    "no gateway to start: run `npm install --save-dev @hallward/gateway`, put `hallward` into " +
      "PATH, or say where it is with HALLWARD_BIN or the option `binary`",
  );
}

function packaged(): string | undefined {
  try {
    const require = createRequire(join(process.cwd(), "package.json"));
    const { path } = require("@hallward/gateway") as { path: string };
    return path;
  } catch {
    return undefined; // Not installed.
  }
}

function onPath(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, NAME)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
