/** Numbers to and from one other worker: bounded, in order, and whole. */
import type { Socket } from "node:net";

/** The other worker is gone, or what it sends cannot be its part of this work. */
export class PeerLost extends Error {
  override readonly name = "PeerLost";
  readonly code = "PeerLost";
}

/** Length of what follows, in bytes. */
const HEADER = 4;

/** A header without a frame: it says that its sender lives. No frame of numbers has this length. */
const BEAT = 0xff_ff_ff_ff;

/** A node that is lost closes no connection, so each end says now and then that it lives. */
export interface Watch {
  beatMilliseconds: number;
  /** One that says nothing for so long is lost. */
  silenceMilliseconds: number;
}

const WATCH: Watch = { beatMilliseconds: 5000, silenceMilliseconds: 60_000 };

function headerOf(length: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(length);
  return header;
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/**
 * Frames of numbers over a socket. A sender waits while the socket's buffer is full, and nothing is read before somebody
 * asks for it, so that no more than the socket's buffers is ever held.
 */
export class Channel {
  readonly #socket: Socket;
  #lost: PeerLost | undefined;
  #wake: () => void = () => undefined;
  readonly #peer: string;

  /** `peer`: who is at the other end, for messages. */
  constructor(socket: Socket, peer: string, watch = WATCH) {
    this.#socket = socket;
    this.#peer = peer;
    socket.on("error", (error) => this.#lose(error));
    socket.on("close", () => this.#lose());
    socket.on("end", () => this.#lose());
    socket.on("readable", () => this.#wake());
    this.#watch(watch);
  }

  get lost(): PeerLost | undefined {
    return this.#lost;
  }

  /** Resolves when the socket has taken the numbers. Throws PeerLost. */
  async send(values: Float32Array): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#socket.write(headerOf(values.byteLength));
    // The numbers may be overwritten as soon as this resolves, so the socket must have them.
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(bytesOf(values), (error) => (error ? reject(this.#lose(error)) : resolve()));
    });
  }

  /** Fills `values` with the next frame. Throws PeerLost, also when the frame has another length. */
  async receive(values: Float32Array): Promise<void> {
    let length = BEAT;
    while (length === BEAT) length = (await this.#read(HEADER)).readUInt32LE();
    if (length !== values.byteLength) {
      this.close();
      throw this.#lose(new RangeError(`it sent ${length} bytes where ${values.byteLength} were expected`));
    }
    const target = bytesOf(values);
    let filled = 0;
    while (filled < length) {
      const part = await this.#read(Math.min(length - filled, this.#socket.readableHighWaterMark));
      part.copy(target, filled);
      filled += part.length;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Counts beats, not time: this process may have been busy itself. */
  #watch({ beatMilliseconds, silenceMilliseconds }: Watch): void {
    const socket = this.#socket;
    let heard = socket.bytesRead;
    let silent = 0;
    const timer = setInterval(() => {
      // Numbers that wait to be sent say as much.
      if (socket.writableLength === 0) socket.write(headerOf(BEAT));
      // What waits to be read keeps more from coming.
      const full = socket.readableLength >= socket.readableHighWaterMark;
      silent = full || socket.bytesRead !== heard ? 0 : silent + 1;
      heard = socket.bytesRead;
      if (silent * beatMilliseconds < silenceMilliseconds) return;
      socket.destroy(new Error(`it has said nothing for ${silenceMilliseconds / 1000} s`));
    }, beatMilliseconds);
    timer.unref();
    socket.once("close", () => clearInterval(timer));
  }

  #lose(cause?: Error): PeerLost {
    const why = cause === undefined ? "it has closed the connection" : cause.message;
    this.#lost ??= new PeerLost(`${this.#peer} is lost: ${why}`, { cause });
    this.#wake();
    return this.#lost;
  }

  async #read(size: number): Promise<Buffer> {
    for (;;) {
      // A socket gives buffers.
      const part = this.#socket.read(size) as Buffer | null;
      if (part !== null && part.length === size) return part;
      if (part !== null) throw this.#lose();
      if (this.#lost !== undefined) throw this.#lost;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
