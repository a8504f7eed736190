/** Finds graphs of layers that tfjs would try to connect for ever. */
import { z } from "zod";
import { unsupported } from "./unsupported.ts";

const Layer = z.looseObject({
  class_name: z.string(),
  name: z.string().optional(),
  config: z.unknown(),
  inbound_nodes: z.array(z.unknown()).optional(),
});

const Model = z.looseObject({ layers: z.array(Layer).max(20_000) });

type Layer = z.output<typeof Layer>;

const MODELS = new Set(["Model", "Functional", "Sequential"]);

/** Calls of other layers on which one call depends. */
function sources(node: unknown): [layer: string, call: number][] {
  if (!Array.isArray(node)) return [];
  return node.flatMap((input: unknown): [string, number][] => {
    if (!Array.isArray(input)) return [];
    const [layer, call]: unknown[] = input;
    return typeof layer === "string" && typeof call === "number" ? [[layer, call]] : [];
  });
}

/** A layer is called in order; what is made of a call is there after it. A layer without calls is an input. */
function unreachable(layers: readonly Layer[]): string | undefined {
  const done = new Map<string, number>();
  const left = new Map<string, [string, number][][]>();
  const waiting = new Map<string, string[]>();
  const ready: string[] = [];
  for (const { name = "", class_name: className, inbound_nodes: nodes = [] } of layers) {
    // An input is there from the start, and so is the first output of a model, which is that of its making.
    done.set(name, nodes.length === 0 || MODELS.has(className) ? 1 : 0);
    left.set(name, nodes.map(sources));
    ready.push(name);
  }
  for (let name = ready.pop(); name !== undefined; name = ready.pop()) {
    const calls = left.get(name) ?? [];
    const missing = calls[0]?.find(([layer, call]) => (done.get(layer) ?? 0) <= call);
    if (missing !== undefined) {
      waiting.set(missing[0], [...(waiting.get(missing[0]) ?? []), name]);
      continue;
    }
    if (calls.length === 0) continue;
    calls.shift();
    done.set(name, (done.get(name) ?? 0) + 1);
    ready.push(name, ...(waiting.get(name) ?? []));
    waiting.delete(name);
  }
  return [...left].find(([, calls]) => calls.length > 0)?.[0];
}

/**
 * Requires that every layer of a topology can be reached from inputs, in models in models too.
 * Throws Failure ModelUnsupported naming a layer of a circle, or one that depends on a call that is not there.
 */
export function requireConnected(config: unknown, shownAs: string): void {
  const parsed = Model.safeParse(config);
  if (!parsed.success) return;
  const { layers } = parsed.data;
  const found = layers.some(({ inbound_nodes: nodes }) => nodes !== undefined) ? unreachable(layers) : undefined;
  if (found !== undefined) {
    throw unsupported(
      shownAs,
      `layer ${found} depends on itself, or on a layer that is not there; save the model again`,
    );
  }
  for (const layer of layers) requireConnected(layer.config, shownAs);
}
