// Generates models of an AsyncAPI document for TypeScript, Go and Java, for compilers to check.
//
//     node scripts/check_models.mjs asyncapi.json FOLDER
//
// Writes them to FOLDER/typescript, FOLDER/go and FOLDER/java. Fails when a model's name shows that a schema has none.

import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The tools' node_modules folder is not above this file, where `import` would look.
const require = createRequire(new URL('../.tools/npm/package.json', import.meta.url));
const { GoFileGenerator, JavaFileGenerator, TypeScriptFileGenerator } = require('@asyncapi/modelina');

const [file, folder] = process.argv.slice(2);
const document = JSON.parse(await readFile(file, 'utf8'));
const languages = {
  typescript: [new TypeScriptFileGenerator({ modelType: 'interface' }), {}],
  go: [new GoFileGenerator(), { packageName: 'models' }],
  java: [new JavaFileGenerator({ collectionType: 'List' }), { packageName: 'models' }],
};
for (const [language, [generator, options]] of Object.entries(languages)) {
  const target = join(folder, language);
  await mkdir(target, { recursive: true });
  const models = await generator.generateToFiles(document, target, options, true);
  const names = models.map(({ modelName }) => modelName);
  const unnamed = names.filter(name => /anonymous|\d$/i.test(name));
  if (unnamed.length > 0) throw new Error(`${language}: schemas without a name: ${unnamed.join(', ')}`);
  if (names.length < 15) throw new Error(`${language}: only ${names.length} models`);
  console.log(`${language}: ${names.length} models`);
}
