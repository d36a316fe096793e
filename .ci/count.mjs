// `node .ci/count.mjs REPORT STATUS`: prints `N passed, N failed, N skipped` from vitest's JSON report and ends with an honest code.
import { existsSync, readFileSync } from 'node:fs';

const [file = '', status = '1'] = process.argv.slice(2);
const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] };
// A file that could not be loaded has no tests that could fail.
const broken = report.testResults.filter((/** @type {{ status: string, assertionResults: unknown[] }} */ f) => f.status === 'failed' && f.assertionResults.length === 0).length;
const passed = report.numPassedTests;
const skipped = report.numPendingTests + report.numTodoTests;
// The run itself may fail with every test passed: an error outside of tests, or none that ran.
const failed = Math.max(report.numFailedTests + broken, status !== '0' || passed === 0 ? 1 : 0);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);
