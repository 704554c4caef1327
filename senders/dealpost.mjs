// Tells Dealpost what happened. Copy this file into your platform; it needs Node 18 or newer and nothing else.
// Set DEALPOST_URL and DEALPOST_KEY. Do not await completeLesson() before you answer the student.

const PAUSES = [500, 2000, 5000, 15000]; // milliseconds between the tries
const TIMEOUT = 5000; // of one try; Dealpost needs some milliseconds

// id: the same for the same completion, as `lesson-${student.id}-${lessonId}`; with it, whatever is sent twice counts once.
// -> true: Dealpost has it on disk. false, with the reason in the log: keep it, and send it again. Never rejects.
export async function completeLesson({ email, lessonId, id }) {
  const body = JSON.stringify({ email, lesson_id: lessonId, id });
  let reason = "";
  for (const pause of [...PAUSES, null]) {
    try {
      const answer = await fetch(new URL("/api/tripwire/complete", process.env.DEALPOST_URL), {
        method: "POST",
        headers: { Authorization: `Bearer ${process.env.DEALPOST_KEY}`, "Content-Type": "application/json" },
        body,
        signal: AbortSignal.timeout(TIMEOUT),
      });
      const text = await answer.text();
      if (answer.ok) return true;
      reason = `${answer.status} ${text.slice(0, 500)}`;
      if (answer.status !== 429 && answer.status < 500) break; // refused: sending it again changes nothing
    } catch (error) {
      reason = error.name;
    }
    if (pause !== null) await new Promise((done) => setTimeout(done, pause));
  }
  console.error(`Dealpost did not take ${id}: ${reason}`);
  return false;
}
