// The HTTP API as one signed-in person. Signs in when there is no token yet, well before one ends, and once more when
// the server no longer takes it. The client of usercast gets its tokens here, too.

/** The share of a token's life after which it is renewed. */
const usedShare = 0.6;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  #personId;
  #fetch;
  #login = null;
  #renewAt = 0;

  constructor(personId, fetch) {
    this.#personId = personId;
    this.#fetch = fetch;
  }

  /** A token that is good for some time yet. `renew`: the last one is of no use, or ends soon. */
  token(renew = false) {
    return !renew && Date.now() < this.#renewAt ? this.#login : this.#signIn();
  }

  async call(method, path, body) {
    try {
      return await request(method, path, { body, token: await this.token(), fetch: this.#fetch });
    } catch (error) {
      if (error.status !== 401) throw error;
      return request(method, path, { body, token: await this.token(true), fetch: this.#fetch });
    }
  }

  #signIn() {
    this.#renewAt = Number.POSITIVE_INFINITY; // calls that come meanwhile share this one
    this.#login = request('POST', '/api/login', { body: { person_id: this.#personId }, fetch: this.#fetch }).then(
      ({ token, expires_in: seconds }) => {
        this.#renewAt = Date.now() + seconds * 1_000 * usedShare;
        return token;
      },
      (error) => {
        this.#renewAt = 0;
        throw error;
      },
    );
    return this.#login;
  }
}

export async function request(method, path, { body, token, fetch = globalThis.fetch } = {}) {
  const isRepeatable = method !== 'POST' || body?.id !== undefined;
  const headers = {};
  if (body) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  const send = () =>
    fetch(path, { method, headers, body: body && JSON.stringify(body) }).catch(() => {
      throw new ApiError(0, 'The server cannot be reached. Try again when you are connected.');
    });
  let response = await send();
  // A proxy says so when the process that had the request ended before it answered. It asks another one then.
  if (response.status === 502 && isRepeatable) response = await send();
  if (response.status === 204) return undefined;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, answer.title ?? `The server answered ${response.status}.`);
  return answer;
}
