// Parses an AsyncAPI document and fails when its parser has an objection.
//
//     node scripts/check_asyncapi.mjs asyncapi.json

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

// The tools' node_modules folder is not above this file, where `import` would look.
const require = createRequire(new URL('../.tools/npm/package.json', import.meta.url));
const { DiagnosticSeverity } = require('@stoplight/types');
const { Parser } = require('@asyncapi/parser');

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(await readFile(file, 'utf8'));
for (const { severity, code, path, message } of diagnostics) {
  console.log(`${DiagnosticSeverity[severity]} ${code} at /${path.join('/')}: ${message}`);
}
// Of what is worth less than a warning there is always the hint that there is a later version of AsyncAPI.
const objections = diagnostics.filter(({ severity }) => severity <= DiagnosticSeverity.Warning);
if (!document || objections.length > 0) process.exit(1);
console.log(`${document.allMessages().length} messages in ${document.allOperations().length} operations`);
