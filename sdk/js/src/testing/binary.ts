/** Where the gateway's program is. */

import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

const NAME = process.platform === "win32" ? "hallward.exe" : "hallward";

/** By option, `HALLWARD_BIN`, the package `@hallward/gateway`, `PATH`, in this order. */
export function findGateway(option?: string): string {
  const said = option ?? process.env["HALLWARD_BIN"];
  if (said) return said;
  const installed = packaged();
  const found = installed.path ?? onPath();
  if (found) return found;
  throw new Error(
    `no gateway to start: ${installed.why ?? "run `npm install --save-dev @hallward/gateway`"}. ` +
      "Or put `hallward` into PATH, or say where it is with HALLWARD_BIN or the option `binary`",
  );
}

/** Beside this package, or of the project that the tests run in; or why it is of no use. */
function packaged(): { path?: string; why?: string } {
  for (const place of [import.meta.url, join(process.cwd(), "package.json")]) {
    const require = createRequire(place);
    try {
      require.resolve("@hallward/gateway");
    } catch {
      continue; // Not installed there.
    }
    try {
      return { path: (require("@hallward/gateway") as { path: string }).path };
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) };
    }
  }
  return {};
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
