// Many things at once, but not all of them; and everything that was started is stopped.

// Runs the jobs, so many at a time.
export async function runAll(jobs, at_a_time) {
  const queue = [...jobs];
  const worker = async () => {
    while (queue.length > 0) await queue.pop()();
  };

  await Promise.all(Array.from({ length: at_a_time }, worker));
}

// `starts`: name → what starts it, given those before it. Calls use({name, …}), and then stop() of each, the last one
// first, whatever happens; the first failure is told.
export async function withAll(starts, use) {
  const started = {};
  const failures = [];
  let result;

  try {
    for (const [name, start] of Object.entries(starts)) started[name] = await start(started);
    result = await use(started);
  } catch (error) {
    failures.push(error);
  }
  for (const one of Object.values(started).reverse())
    await one.stop().catch((error) => failures.push(error));
  if (failures.length > 0) throw failures[0];
  return result;
}

export function shuffled(list, random) {
  const left = [...list];

  return list.map(() => left.splice(Math.floor(random() * left.length), 1)[0]);
}
