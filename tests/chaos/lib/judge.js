// What must hold, whatever died: the ledger of what clients were told and what the upstream was asked, against the
// database. From lessons, so that a lesson without a trace counts; tag by tag, so that one too many hides none missing.
//
//   O1  what a client was told is there, and has ended
//   O2  each lesson has one trace, and one for each time it was generated anew; each call that the upstream was asked is in it, once, and none that it was not
//   O3  no trace is left started, no call without an end, no job
//   O4  a generated lesson is an answer that the upstream gave for it
//
// And from within: a trigger of ours sees who ends what has ended.

import { until } from '../../lib/api.js';

const DRAIN_MS = 120_000; // for what is still in the making; the promise is 60 s
const VIOLATIONS_SHOWN = 20;

const LESSONS = (name) => `
  SELECT json_build_object(
           'id', l.id, 'tag', substring(l.outline FROM 'tag-[0-9a-z-]+'), 'status', l.status,
           'answer', substring(l.content FROM 'answer ([0-9a-f]{32})'),
           'traces', coalesce((
             SELECT json_agg(json_build_object(
                      'status', t.status, 'count', t.llm_call_count,
                      'same', t.response_data ->> 'content' IS NOT DISTINCT FROM l.content,
                      'calls', (SELECT json_agg(json_build_object(
                                         'span', c ->> 'span_id', 'success', c -> 'success',
                                         'class', c ->> 'error_class', 'answer', c #>> '{response,id}'))
                                  FROM jsonb_array_elements(t.llm_calls) AS c))
                             ORDER BY t.created_at)
               FROM lesson_traces t WHERE t.lesson_id = l.id), '[]'))
    FROM lessons l WHERE l.outline LIKE 'tag-${name}-%'`;

const WATCH = `
  CREATE TABLE chaos_double_ends (id uuid, what text);
  CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
      INSERT INTO public.chaos_double_ends VALUES (OLD.id, TG_TABLE_NAME || ' ' || OLD.status || ' to ' || NEW.status);
      RETURN NULL;
  END $$;
  CREATE TRIGGER chaos_note AFTER UPDATE ON lessons FOR EACH ROW
      WHEN (OLD.status <> 'generating' AND NEW.status <> 'generating') EXECUTE FUNCTION chaos_note();
  CREATE TRIGGER chaos_note AFTER UPDATE ON lesson_traces FOR EACH ROW
      WHEN (OLD.status <> 'started'
            AND (OLD.status, OLD.completed_at, OLD.provider_used, OLD.response_data)
                IS DISTINCT FROM (NEW.status, NEW.completed_at, NEW.provider_used, NEW.response_data))
      EXECUTE FUNCTION chaos_note();`;

const LEFT = `
  SELECT (SELECT count(*) FROM generation_jobs)
         || ' ' || (SELECT count(*) FROM lesson_traces WHERE status = 'started')
         || ' ' || (SELECT count(*) FROM lessons WHERE status = 'generating')`;

// From now on, nothing may end twice.
export const watchEnds = (stack) => stack.psql(WATCH);

function judgeTrace(trace, say) {
  const calls = trace.calls ?? [];
  const endless = calls.filter(({ success }) => success === null);

  if (trace.status === 'started') say('a trace left started');
  if (trace.count !== calls.length) say(`llm_call_count ${trace.count} of ${calls.length}`);
  if (endless.length > 0) say(`${endless.length} calls without an end`);
}

// Says what is wrong with a lesson, as LESSONS tells it. `asked`: the ids of the upstream's requests for it; `again`: how
// often its client was told that it is generated anew, and how often it was told nothing of that.
export function judgeLesson(lesson, asked, say, again = { told: 0, unknown: 0 }) {
  const { traces } = lesson;
  const last = traces.at(-1);
  const calls = traces.flatMap((trace) => trace.calls ?? []);
  const answered = calls.filter(({ answer }) => answer !== null).map(({ answer }) => answer);
  const untold = asked.filter((id) => !answered.includes(id));
  const lost = calls.filter((one) => one.class === 'worker_lost' || one.class === 'cancelled');

  if (last === undefined) return say('no trace');
  if (traces.length < 1 + again.told || traces.length > 1 + again.told + again.unknown)
    say(`${traces.length} traces, of ${1 + again.told} generations`);
  if (lesson.status === 'generating') say('left generating');
  if ((lesson.status === 'generated') !== (last.status === 'completed'))
    say(`lesson ${lesson.status}, trace ${last.status}`);
  for (const trace of traces) judgeTrace(trace, say);
  if (new Set(calls.map(({ span }) => span)).size !== calls.length) say('a call told twice');
  if (new Set(answered).size !== answered.length) say('an answer told twice');
  for (const id of answered) if (!asked.includes(id)) say(`answer ${id} that nobody gave`);
  // A call that was cut off has no answer to be known by: there must be one for each request left over.
  if (untold.length > calls.length - answered.length)
    say(`${asked.length} requests, of which ${untold.length} without a call`);
  if (calls.length - answered.length > lost.length) say('a call failed that nobody broke');
  if (lesson.status === 'generated' && (!last.same || !isAnswer(last, lesson.answer)))
    say(`content ${lesson.answer} is none of its answers`);
}

const isAnswer = ({ calls }, id) => (calls ?? []).some(({ answer }) => answer === id);

// Waits until nothing is in the making, then judges. `drainMs`: how long that may take. `mustBeTold(call)`: whether the
// answer of this call of the upstream must stand in the trace. Gives {violations, lessons, generated, traces, calls,
// lost, drain_ms}.
export async function judge(
  stack,
  upstream,
  ledger,
  { drainMs = DRAIN_MS, mustBeTold = () => false } = {},
) {
  const begin = performance.now();
  const violations = [...ledger.mismatches.map((tag) => `${tag}: two ids told`)];

  await until(
    'nothing in the making',
    async () => (await stack.psql(LEFT).catch(() => '')) === '0 0 0',
    drainMs,
  ).catch(async () =>
    violations.push(`left after ${drainMs} ms: jobs, traces, lessons ${await stack.psql(LEFT)}`),
  );
  const drain_ms = performance.now() - begin;
  const lines = await stack.psql(LESSONS(ledger.name));
  const lessons = lines === '' ? [] : lines.split('\n').map((line) => JSON.parse(line));
  const asked = Map.groupBy(upstream.calls(), ({ tag }) => tag);
  const [there, tags] = ['id', 'tag'].map((key) => new Set(lessons.map((one) => one[key])));
  const seen = { traces: 0, generated: 0, calls: 0, lost: 0 };

  for (const [tag, id] of ledger.ids) if (!there.has(id)) violations.push(`${tag}: lost`);
  for (const lesson of lessons) {
    const ids = (asked.get(lesson.tag) ?? []).map(({ id }) => id);

    const say = (what) => violations.push(`${lesson.tag} ${lesson.id}: ${what}`);

    judgeLesson(lesson, ids, say, ledger.again?.get(lesson.id));
    seen.traces += lesson.traces.length;
    if (lesson.status === 'generated') seen.generated++;
    else say(lesson.status);
    for (const call of asked.get(lesson.tag) ?? [])
      if (mustBeTold(call) && !lesson.traces.some((trace) => isAnswer(trace, call.id)))
        say(`answer ${call.id} came, and is not told`);
    for (const { class: why } of lesson.traces.flatMap(({ calls }) => calls ?? [])) {
      seen.calls++;
      if (why === 'worker_lost') seen.lost++;
    }
  }
  for (const tag of asked.keys())
    if (tag.startsWith(`tag-${ledger.name}-`) && !tags.has(tag))
      violations.push(`${tag}: ${asked.get(tag).length} requests for no lesson`);
  violations.push(
    ...(await stack.psql("SELECT id || ': ended twice: ' || what FROM chaos_double_ends"))
      .split('\n')
      .filter(Boolean),
  );
  if (violations.length > VIOLATIONS_SHOWN)
    violations.splice(VIOLATIONS_SHOWN, Infinity, `… ${violations.length} in all`);
  return { violations, lessons: lessons.length, acknowledged: ledger.ids.size, drain_ms, ...seen };
}

// "5000 lessons acknowledged, 0 lost, …" for the table of results.
export const summary = ({ acknowledged, lessons, generated, traces, calls, lost }) =>
  `${acknowledged} lessons acknowledged, ${lessons} there, ${generated} generated; ${traces} traces, one a generation; ` +
  `${calls} calls told, ${lost} of them worker_lost`;
