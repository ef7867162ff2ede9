// Writes src/wire/types.ts from the JSON Schemas of the gateway's messages.
//
//   node scripts/generate-types.mjs           writes the file
//   node scripts/generate-types.mjs --check   exits with 1 if the file is stale

import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const schemas = new URL("../../../schemas/", import.meta.url);
const target = new URL("../src/wire/types.ts", import.meta.url);

const HEADER = `// Generated from schemas/ by scripts/generate-types.mjs: do not edit.

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
`;

/** Collects every named type once; the same name must mean the same everywhere. */
function collect() {
  const types = new Map();
  const add = (name, schema) => {
    const text = declare(name, schema);
    if ((types.get(name) ?? text) !== text) throw new Error(`two types are named ${name}`);
    types.set(name, text);
  };
  for (const file of readdirSync(schemas)
    .filter((name) => name.endsWith(".schema.json"))
    .sort()) {
    const schema = JSON.parse(readFileSync(new URL(file, schemas), "utf8"));
    add(schema.title, schema);
    for (const [name, part] of Object.entries(schema.$defs ?? {})) add(name, part);
  }
  return [...types].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
}

function declare(name, schema) {
  const head = comment(schema.description, "");
  if (!schema.properties) return `${head}export type ${name} = ${wrapUnion(typeOf(schema))};\n`;
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([field, part]) => {
    const mark = required.has(field) ? "" : "?";
    return `${comment(part.description, "  ")}  ${field}${mark}: ${typeOf(part)};\n`;
  });
  return `${head}export interface ${name} {\n${fields.join("")}}\n`;
}

/** An absent field and one that is null mean the same: \`null\` is left out of the types. */
function typeOf(schema) {
  if (schema === true) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const parts = schema.anyOf ?? schema.oneOf;
  if (parts)
    return parts
      .map(typeOf)
      .filter((type) => type !== "null")
      .join(" | ");
  const names = [schema.type ?? "unknown"].flat().filter((type) => type !== "null");
  return names.map((type) => primitive(type, schema)).join(" | ") || "null";
}

function primitive(type, schema) {
  if (type === "integer") return "number";
  if (type === "array") return `Array<${typeOf(schema.items ?? true)}>`;
  if (type === "object") return "{ [name: string]: unknown }";
  return type;
}

function wrapUnion(type) {
  return type.length <= 70 ? type : `\n  | ${type.split(" | ").join("\n  | ")}`;
}

function comment(text, indent) {
  if (!text) return "";
  const lines = text
    .replaceAll("*/", "*\u200b/")
    .split("\n")
    .flatMap((line) => fill(line, 90));
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  const body = lines.map((line) => `${indent} * ${line}`.trimEnd()).join("\n");
  return `${indent}/**\n${body}\n${indent} */\n`;
}

function fill(line, width) {
  const lines = [""];
  for (const word of line.split(" ")) {
    const last = lines.at(-1);
    if (last && last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

const text = `${HEADER}\n${collect().join("\n")}`;
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/wire/types.ts is stale: run node scripts/generate-types.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
