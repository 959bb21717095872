const input = '../../../openapi.json';

module.exports = {
  functions: {
    input,
    output: {
      mode: 'split',
      target: 'client/parlor.ts',
      schemas: 'client/model',
      client: 'fetch',
      override: { mutator: { path: './request.ts', name: 'request' } },
    },
  },
  checks: { input, output: { target: 'client/checks.ts', client: 'zod' } },
};
