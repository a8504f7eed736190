/** GRU whose reset gate acts after the product with the recurrent kernel: what Keras builds by default. */
import type { Shape, Tensor, serialization } from "@tensorflow/tfjs";
import type { LayerArgs } from "@tensorflow/tfjs-layers/dist/engine/topology.js";
import type { RNNCell, RNNLayerArgs } from "@tensorflow/tfjs-layers/dist/layers/recurrent.js";
import type { LayerVariable } from "@tensorflow/tfjs-layers/dist/variables.js";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { activate } from "./activation.ts";
import { type LayerClass, known, only, shapesOf } from "./definition.ts";
import { Activation, Size } from "./settings.ts";

const Settings = z.object({
  units: Size,
  activation: Activation,
  recurrentActivation: Activation,
  useBias: z.boolean().default(true),
});

/** The three gates' parts of [batch, 3 * units]. */
function gates(tf: Tf, x: Tensor): [Tensor, Tensor, Tensor] {
  const [update, reset, fresh] = tf.split(x, 3, 1);
  if (update === undefined || reset === undefined || fresh === undefined) throw new RangeError("a GRU has three gates");
  return [update, reset, fresh];
}

type Config = LayerArgs & serialization.ConfigDict;

interface GruClasses {
  cell: LayerClass & (new (config: Config) => RNNCell);
  layer: LayerClass;
}

/** The cell, and the layer that runs it along the steps. */
export function gruResetAfter(tf: Tf): GruClasses {
  const cell = cellClass(tf);
  const layer = class extends tf.layers.RNN {
    // Its base takes a cell, this a cell's configuration.
    static override readonly className = "GRUResetAfter" as string as "RNN";
    readonly #config: Config;

    constructor(config: RNNLayerArgs & Config) {
      super({ ...config, cell: new cell(Object.assign({}, config, { name: `${String(config.name)}_cell` })) });
      this.#config = config;
    }

    static override fromConfig<T extends serialization.Serializable>(
      cls: serialization.SerializableConstructor<T>,
      config: serialization.ConfigDict,
    ): T {
      return new cls(config);
    }

    override getConfig(): serialization.ConfigDict {
      const { cell: _, ...loop } = super.getConfig();
      return { ...this.#config, ...loop };
    }
  };
  return { cell, layer };
}

function cellClass(tf: Tf): GruClasses["cell"] {
  return class extends tf.layers.RNNCell {
    static readonly className = "GRUResetAfterCell";
    readonly #settings: z.output<typeof Settings>;
    readonly #config: serialization.ConfigDict;
    #kernel: LayerVariable | undefined;
    #recurrent: LayerVariable | undefined;
    #bias: LayerVariable | undefined;
    stateSize: number;

    constructor(config: Config) {
      super(config);
      this.#config = config;
      this.#settings = Settings.parse(config);
      this.stateSize = this.#settings.units;
    }

    override build(inputShape: Shape | Shape[]): void {
      const { units, useBias } = this.#settings;
      const size = known(only(shapesOf(inputShape)).at(-1), "the size of a step");
      const weight = (name: string, shape: number[]) => this.addWeight(name, shape, "float32", tf.initializers.zeros());
      this.#kernel = weight("kernel", [size, 3 * units]);
      this.#recurrent = weight("recurrent_kernel", [units, 3 * units]);
      if (useBias) this.#bias = weight("bias", [2, 3 * units]);
      this.built = true;
    }

    override call(inputs: Tensor | Tensor[]): Tensor[] {
      const [x, state] = Array.isArray(inputs) ? inputs : [inputs];
      const [kernel, recurrent] = [this.#kernel?.read(), this.#recurrent?.read()];
      if (x === undefined || state === undefined || kernel === undefined || recurrent === undefined) {
        throw new RangeError("a GRU cell needs an input and a state");
      }
      return tf.tidy(() => {
        const { units, activation, recurrentActivation } = this.#settings;
        const bias = (row: number, sum: Tensor) =>
          this.#bias === undefined ? sum : tf.add(sum, tf.slice(this.#bias.read(), [row, 0], [1, 3 * units]));
        const [updateX, resetX, freshX] = gates(tf, bias(0, tf.matMul(x, kernel)));
        const [updateH, resetH, freshH] = gates(tf, bias(1, tf.matMul(state, recurrent)));
        const update = activate(tf, recurrentActivation, tf.add(updateX, updateH));
        const reset = activate(tf, recurrentActivation, tf.add(resetX, resetH));
        const fresh = activate(tf, activation, tf.add(freshX, tf.mul(reset, freshH)));
        const next = tf.add(tf.mul(update, state), tf.mul(tf.sub(1, update), fresh));
        return [next, next];
      });
    }

    override getConfig(): serialization.ConfigDict {
      return { ...this.#config, ...super.getConfig() };
    }
  };
}
