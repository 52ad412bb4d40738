// Counts for scripts/test: one line "passed failed skipped" of the tests of a run. A suite, a test's own subtests
// having failed, and a file without a test are not tests; a file that could not be run is a failed one.

export default async function* count(source) {
  const counts = { passed: 0, failed: 0, skipped: 0 };

  for await (const { type, data } of source) {
    if (type === 'test:fail') {
      if (data.details.error?.failureType !== 'subtestsFailed') counts.failed += 1;
    } else if (type === 'test:pass') {
      if (data.details.type === 'suite' || data.file?.endsWith(data.name)) continue;
      counts[data.skip === undefined && data.todo === undefined ? 'passed' : 'skipped'] += 1;
    }
  }
  yield `${counts.passed} ${counts.failed} ${counts.skipped}\n`;
}
