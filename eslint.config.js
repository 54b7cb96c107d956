import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * The rooms of src, from the top of the house to its ground floor. Imports point down this list, never up; rooms on
 * one floor never import each other.
 */
const floors = [
  ['commands'],
  ['reconcile.ts', 'render'],
  ['change.ts', 'pulls.ts'],
  ['dates.ts'],
  ['proof.ts'],
  ['plan.ts'],
  ['sources', 'stores', 'runtimes', 'report'],
  ['api'],
  ['bundle'],
  ['host'],
];

const pattern = (room) => `**/${room}${room.endsWith('.ts') ? '' : '/**'}`;

/** One rule per room: what lies above it, and its neighbours, may not be imported. */
const directions = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    files: [`src/${room}${room.endsWith('.ts') ? '' : '/**'}`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: [
                '**/cli.ts',
                '**/main.ts',
                ...floors.slice(0, floor).flat().map(pattern),
                ...rooms.filter((other) => other !== room).map(pattern),
              ],
              message: `imports point down the house: ${room} may not know this room`,
            },
          ],
        },
      ],
    },
  })),
);

export default defineConfig(
  { ignores: ['dist', 'coverage', 'node_modules'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      complexity: ['error', 10],
      'max-depth': ['error', 3],
      'max-lines': ['error', 300],
      'max-lines-per-function': ['error', 40],
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'export by name' }],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly' } },
  },
  ...directions,
);
