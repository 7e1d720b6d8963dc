// The HTTP API as one signed-in person. Signs in when there is no token yet, well before one ends, and once more when
// the server no longer takes it.

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
  #login = null;
  #renewAt = 0;

  constructor(personId) {
    this.#personId = personId;
  }

  /** A token that is good for some time yet. */
  token() {
    return Date.now() < this.#renewAt ? this.#login : this.#signIn();
  }

  /** The token turned out to be of no use: the next call signs in again. */
  forget() {
    this.#renewAt = 0;
  }

  get msUntilRenewal() {
    return Math.max(0, this.#renewAt - Date.now());
  }

  async call(method, path, body) {
    try {
      return await request(method, path, { body, token: await this.token() });
    } catch (error) {
      if (error.status !== 401) throw error;
      this.forget();
      return request(method, path, { body, token: await this.token() });
    }
  }

  #signIn() {
    this.#renewAt = Number.POSITIVE_INFINITY; // calls that come meanwhile share this one
    this.#login = request('POST', '/api/login', { body: { person_id: this.#personId } }).then(
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

export async function request(method, path, { body, token } = {}) {
  const headers = {};
  if (body) headers['Content-Type'] = 'application/json';
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, 'The server cannot be reached. Try again in a moment.');
  }
  if (response.status === 204) return undefined;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, answer.title ?? `The server answered ${response.status}.`);
  return answer;
}
