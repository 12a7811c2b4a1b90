// Calls of the simulator's control routes.

/** A call that was answered with an error, or not at all. */
export class CallError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function call(method, path, body) {
  const request = { method };
  if (body !== undefined) {
    request.headers = { "content-type": "application/json" };
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new CallError("The simulator does not answer.", 0);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new CallError(answer.error?.message ?? `The simulator answered ${response.status}.`, response.status);
  }
  return answer;
}

/** `path` with the parameters that are not null. */
export function withQuery(path, parameters) {
  const present = Object.entries(parameters).filter(([, value]) => value != null);
  return `${path}?${new URLSearchParams(present)}`;
}
