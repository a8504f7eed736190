/**
 * Sums vectors over all workers, so that each has the same sum, bit by bit.
 * Ring: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009).
 */
import type { Channel } from "./channel.ts";

/** Channels to the other workers by their rank; none to oneself. */
export type Peers = ReadonlyMap<number, Channel>;

interface Place {
  rank: number;
  size: number;
}

/** What is received, before it is added: the same memory for each sum of a training. */
export class Buffers {
  readonly #all = new Map<number, Float32Array>();

  take(index: number, length: number): Float32Array {
    const kept = this.#all.get(index);
    if (kept?.length === length) return kept;
    const made = new Float32Array(length);
    this.#all.set(index, made);
    return made;
  }
}

/** Up to this many numbers are sent whole to each worker: one exchange instead of 2 (N - 1). */
const DIRECT_LIMIT = 16_384;

function channelTo(peers: Peers, rank: number): Channel {
  const channel = peers.get(rank);
  if (channel === undefined) throw new RangeError(`there is no channel to worker ${rank}`);
  return channel;
}

function add(sum: Float32Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i += 1) sum[i] = (sum[i] ?? 0) + (values[i] ?? 0);
}

/** Each sends all to all, and adds in the order of the ranks. */
async function direct(values: Float32Array, peers: Peers, { rank, size }: Place, buffers: Buffers): Promise<void> {
  const parts = Array.from({ length: size }, (_, other) =>
    other === rank ? values : buffers.take(other, values.length),
  );
  await Promise.all(
    [...peers].flatMap(([other, channel]) => [channel.send(values), channel.receive(parts[other] ?? values)]),
  );
  const [sum = values, ...others] = parts;
  for (const part of others) add(sum, part);
  if (sum !== values) values.set(sum);
}

/** Where part `index` of `size` parts begins and ends. */
export function partOf(length: number, size: number, index: number): [number, number] {
  return [Math.floor((length * index) / size), Math.floor((length * (index + 1)) / size)];
}

/** Sums go around once, results a second time; each worker sends 2 (N - 1) / N of the vector. */
async function ring(values: Float32Array, peers: Peers, { rank, size }: Place, buffers: Buffers): Promise<void> {
  const next = channelTo(peers, (rank + 1) % size);
  const previous = channelTo(peers, (rank + size - 1) % size);
  const part = (index: number) => values.subarray(...partOf(values.length, size, ((index % size) + size) % size));
  const incoming = buffers.take(0, Math.ceil(values.length / size) + 1);
  for (let step = 0; step < size - 1; step += 1) {
    const target = part(rank - step - 1);
    const theirs = incoming.subarray(0, target.length);
    await Promise.all([next.send(part(rank - step)), previous.receive(theirs)]);
    add(target, theirs);
  }
  for (let step = 0; step < size - 1; step += 1) {
    await Promise.all([next.send(part(rank + 1 - step)), previous.receive(part(rank - step))]);
  }
}

/** Replaces `values` by the sum of all workers' values. One after the other may use the same `buffers`. Throws PeerLost. */
export async function allReduce(values: Float32Array, peers: Peers, place: Place, buffers: Buffers): Promise<void> {
  if (place.size === 1) return;
  await (values.length <= DIRECT_LIMIT || place.size === 2 ? direct : ring)(values, peers, place, buffers);
}
