/**
 * The workers of one run, each connected to each other. Connections are TLS with the run's own key (PSK), so that nobody
 * else can join, listen or change a number on the way.
 */
import { createHmac } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { type TLSSocket, type Server, connect, createServer } from "node:tls";
import { Buffers, type Peers, allReduce } from "./all-reduce.ts";
import { Channel, PeerLost } from "./channel.ts";

export interface GroupOptions {
  /** Name of the run; workers of another never meet. */
  run: string;
  /** This worker, from 0. */
  rank: number;
  /** All workers. */
  size: number;
  /** The run's secret, shared by its workers. */
  key: Buffer;
  /** Where each worker listens, by rank. */
  addresses: readonly { host: string; port: number }[];
  /** Gives up when not all are there after so many milliseconds. */
  timeoutMilliseconds: number;
  /** Gives up at once; its reason is thrown. */
  signal?: AbortSignal | undefined;
  /** Waits so many milliseconds; without `ref` the process may end meanwhile. */
  wait?: (milliseconds: number, options?: { ref: boolean }) => Promise<void>;
}

/** Not all workers came in time. */
export class GroupIncomplete extends Error {
  override readonly name = "GroupIncomplete";
  readonly code = "GroupIncomplete";
  readonly missing: readonly number[];

  constructor(missing: readonly number[], size: number) {
    super(`Workers ${missing.join(", ")} of ${size} did not come in time`);
    this.missing = missing;
  }
}

export interface Group {
  rank: number;
  size: number;
  /** Replaces the values by the sum over all workers, the same bits at each. Throws PeerLost. */
  sum(values: Float32Array): Promise<void>;
  /** Gives all workers the values of worker 0. Throws PeerLost. */
  broadcast(values: Float32Array): Promise<void>;
  /** Gives all workers what worker 0 makes, as JSON. Throws PeerLost. */
  share<T>(make: () => T | Promise<T>): Promise<T>;
  /** The work is done: worker 0 waits until all others have heard it from it. Throws PeerLost in these when they do not. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

/** Pre-shared keys need TLS 1.2 in Node. */
const TLS = {
  ciphers: "PSK-AES128-GCM-SHA256",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const;
const RETRY_MILLISECONDS = 200;

/** The key of the run's connections; the secret itself may serve other ends. */
function sessionKey(secret: Buffer, run: string): Buffer {
  return createHmac("sha256", secret).update(`modelwright workers of ${run}`).digest();
}

class Gathering {
  readonly #options: GroupOptions;
  readonly #channels = new Map<number, Channel>();
  readonly #complete = Promise.withResolvers<void>();
  #server: Server | undefined;
  #closed = false;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#complete.promise.catch(() => undefined);
  }

  get missing(): number[] {
    const { rank, size } = this.#options;
    return Array.from({ length: size }, (_, other) => other).filter(
      (other) => other !== rank && !this.#channels.has(other),
    );
  }

  async gather(): Promise<Peers> {
    const { rank, size, timeoutMilliseconds, signal, wait = sleep } = this.#options;
    if (rank < size - 1) await this.#listen();
    for (let other = 0; other < rank; other += 1) void this.#dial(other);
    this.#check();
    const late = wait(timeoutMilliseconds, { ref: false }).then(() =>
      Promise.reject(new GroupIncomplete(this.missing, size)),
    );
    late.catch(() => undefined);
    await Promise.race([this.#complete.promise, late, aborted(signal)]);
    return this.#channels;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const channel of this.#channels.values()) channel.close();
    const server = this.#server;
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Workers of a higher rank call this one. */
  async #listen(): Promise<void> {
    const { run, rank, key, addresses } = this.#options;
    const server = createServer({
      ...TLS,
      pskCallback: (_socket, identity) => (identity === run ? sessionKey(key, run) : null),
    });
    this.#server = server;
    server.on("tlsClientError", () => undefined);
    server.on("secureConnection", (socket) => {
      socket.once("readable", () => this.#welcome(socket));
      socket.on("error", () => undefined);
    });
    const { host, port } = addresses[rank] ?? { host: "::", port: 0 };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  }

  /** The first byte of a caller is its rank; that it is one of the workers, its key has proven. */
  #welcome(socket: TLSSocket): void {
    const first = socket.read(1) as Buffer | null;
    const other = first?.readUInt8();
    if (other === undefined || other <= this.#options.rank || other >= this.#options.size) {
      socket.destroy();
      return;
    }
    this.#add(other, socket);
  }

  /** Calls a worker of a lower rank until it answers. */
  async #dial(other: number): Promise<void> {
    const { run, rank, key, addresses, wait = sleep } = this.#options;
    const { host = "", port = 0 } = addresses[other] ?? {};
    while (!this.#closed) {
      const socket = connect({
        ...TLS,
        host,
        port,
        pskCallback: () => ({ psk: sessionKey(key, run), identity: run }),
        // There are no certificates: the key proves who is there.
        checkServerIdentity: () => undefined,
      });
      const connected = await new Promise<boolean>((resolve) => {
        socket.once("secureConnect", () => resolve(true));
        socket.once("error", () => resolve(false));
        socket.once("close", () => resolve(false));
      });
      if (connected) {
        socket.write(Buffer.from([rank]));
        return this.#add(other, socket);
      }
      socket.destroy();
      await wait(RETRY_MILLISECONDS);
    }
  }

  #add(other: number, socket: TLSSocket): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    // One that comes again has lost its first connection.
    this.#channels.get(other)?.close();
    this.#channels.set(other, new Channel(socket, `worker ${other}`));
    this.#check();
  }

  #check(): void {
    if (this.#channels.size === this.#options.size - 1) this.#complete.resolve();
  }
}

/** Rejects when the signal is aborted. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  const rejection = new Promise<never>((_, reject) => {
    if (signal?.aborted === true) reject(signal.reason as Error);
    signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
  rejection.catch(() => undefined);
  return rejection;
}

async function sleep(milliseconds: number, { ref } = { ref: true }): Promise<void> {
  await setTimeout(milliseconds, undefined, { ref });
}

/** Meets the other workers. Throws GroupIncomplete, and PeerLost when one is lost before all have met. */
export async function joinGroup(options: GroupOptions): Promise<Group> {
  const { rank, size } = options;
  const gathering = new Gathering(options);
  try {
    const peers = await gathering.gather();
    const buffers = new Buffers();
    const group: Group = {
      rank,
      size,
      sum: (values) => allReduce(values, peers, { rank, size }, buffers),
      broadcast: (values) => broadcast(values, peers, rank),
      share: (make) => share(make, peers, rank),
      finish: () => finish(peers, rank),
      close: () => gathering.close(),
    };
    // All have met when a sum is there: somebody may have given up meanwhile.
    const met = new Float32Array([1]);
    await group.sum(met);
    if (met[0] !== size) throw new PeerLost(`${met[0]} workers have met instead of ${size}`);
    return group;
  } catch (error) {
    await gathering.close();
    throw error;
  }
}

async function broadcast(values: Float32Array, peers: Peers, rank: number): Promise<void> {
  if (rank > 0) return channelOf(peers, 0).receive(values);
  await Promise.all([...peers.values()].map((channel) => channel.send(values)));
}

/** Text goes as the bits of numbers. */
async function share<T>(make: () => T | Promise<T>, peers: Peers, rank: number): Promise<T> {
  const made = rank === 0 ? await make() : undefined;
  const text = Buffer.from(rank === 0 ? JSON.stringify(made) : "");
  const length = new Float32Array([text.length]);
  await broadcast(length, peers, rank);
  const bits = new Float32Array(Math.ceil((length[0] ?? 0) / 4));
  const bytes = Buffer.from(bits.buffer);
  text.copy(bytes);
  await broadcast(bits, peers, rank);
  // What worker 0 made came as JSON.
  return rank === 0 ? (made as T) : (JSON.parse(bytes.toString("utf8", 0, length[0])) as T);
}

/** A connection that is closed takes with it what was not read yet, so worker 0 waits for an answer. */
async function finish(peers: Peers, rank: number): Promise<void> {
  const word = new Float32Array(1);
  await broadcast(word, peers, rank);
  // Who is gone by now has heard it, or hears from the artefact that it is done.
  const answer = (channel: Channel) => (rank === 0 ? channel.receive(new Float32Array(1)) : channel.send(word));
  const others = rank === 0 ? [...peers.values()] : [channelOf(peers, 0)];
  await Promise.allSettled(others.map(answer));
}

function channelOf(peers: Peers, rank: number): Channel {
  const channel = peers.get(rank);
  if (channel === undefined) throw new PeerLost(`there is no connection to worker ${rank}`);
  return channel;
}
