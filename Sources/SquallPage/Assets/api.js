// What the server is asked. A problem (RFC 9457) becomes an error with its sentence.

export class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
    this.errors = problem.errors ?? [];
  }
}

export async function ask(path, method = "GET", document = undefined) {
  let response;
  try {
    response = await fetch(path, {
      method, cache: "no-store", credentials: "same-origin",
      headers: method === "GET" ? {} : { "Content-Type": "application/json" },
      body: method === "GET" ? undefined : JSON.stringify(document ?? {}),
    });
  } catch {
    throw new Problem(0, { detail: "Nobody answers: the master has ended, or the network is down." });
  }
  if (response.status === 204) return null;
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Problem(response.status, { detail: `The answer is no JSON: ${text.slice(0, 200)}` });
  }
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}
