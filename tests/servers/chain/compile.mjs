// Compiles Tokens.sol into tokens.json: `npm ci --ignore-scripts && npm run compile`.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const solc = require("solc");
const here = new URL(".", import.meta.url);
const input = {
  language: "Solidity",
  sources: { "Tokens.sol": { content: readFileSync(new URL("Tokens.sol", here), "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "cancun",
    metadata: { appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const findImport = (path) => ({ contents: readFileSync(require.resolve(path), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
const tokens = Object.fromEntries(
  Object.entries(output.contracts["Tokens.sol"]).map(([name, { abi, evm }]) => [
    name,
    { abi, bytecode: `0x${evm.bytecode.object}` },
  ]),
);
writeFileSync(new URL("tokens.json", here), `${JSON.stringify({ compiler: solc.version(), tokens })}\n`);
