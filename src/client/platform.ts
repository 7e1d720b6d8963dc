// What the client needs of the platform that it runs in, by shape: browsers, workers and Node have it, and neither's
// types are asked for.

/** A WebSocket, as browsers, Node 22 and the package `ws` make it. */
export interface WebSocketLike {
  readonly readyState: number;
  // Only ever assigned; libraries type the listeners of their events differently.
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** The class of `WebSocketLike`. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** What is read of a response. */
export interface ResponseLike {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { getReader(): BodyReader } | null;
  json(): Promise<unknown>;
}

/** Reads the body of a response as it comes. */
export interface BodyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

/** What the client asks `fetch` for. */
export interface RequestLike {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  readonly cache: 'no-store';
  readonly signal: AbortSignal;
}

/** `fetch`, as the platform or a package offers it. */
export type FetchLike = (url: string, request: RequestLike) => Promise<ResponseLike>;

/** A started timer. */
export type Timer = ReturnType<typeof setTimeout>;

/** What is looked up in the global object; a worker has no `document`, Node none of it but the first two. */
interface Platform {
  readonly WebSocket?: WebSocketConstructor;
  readonly fetch?: FetchLike;
  readonly location?: { readonly href: string };
  readonly document?: EventSource & { readonly visibilityState: string };
  addEventListener?: EventSource['addEventListener'];
  removeEventListener?: EventSource['removeEventListener'];
}

interface EventSource {
  addEventListener(type: string, listener: (event: { readonly type: string }) => void): void;
  removeEventListener(type: string, listener: (event: { readonly type: string }) => void): void;
}

/** The global object. */
export const platform = globalThis as unknown as Platform;

/** Calls back with each sign that the network or the page is there again. Returns what ends that. */
export function onWake(wake: (type: string) => void): () => void {
  const { document } = platform;
  const listener = ({ type }: { readonly type: string }): void => {
    if (document?.visibilityState !== 'hidden') wake(type);
  };
  const each = (method: keyof EventSource): void => {
    for (const type of ['online', 'pageshow']) platform[method]?.(type, listener);
    document?.[method]('visibilitychange', listener);
  };
  each('addEventListener');
  return () => each('removeEventListener');
}
