import { Callbacks } from "../../crds/optimizer.ts";
import { type CallbackState, NO_CALLBACKS, afterEpoch } from "./callbacks.ts";

/** States after epochs with these values of `monitor`. */
function walk(callbacks: object, values: number[], monitor = "val_loss"): CallbackState[] {
  const parsed = Callbacks.parse(callbacks);
  let state = NO_CALLBACKS;
  return values.map((value, index) => {
    if (state.stopped === undefined)
      state = afterEpoch(parsed, state, { epoch: index + 1, values: { [monitor]: value } }, 0.1);
    return state;
  });
}

/** Where early stopping ends a training with these values, and the epoch that it knows as the best. */
const stopsAt = (settings: object, values: number[], monitor?: string) => {
  const last = walk({ earlyStopping: { ...settings, ...(monitor && { monitor }) } }, values, monitor).at(-1);
  return { stopped: last?.stopped, best: last?.stopping.bestEpoch };
};

describe("Early stopping", () => {
  it("ends after so many epochs without improvement, and knows the best one", () => {
    expect(stopsAt({ patience: 2 }, [5, 4, 4.5, 4.2, 3])).toEqual({ stopped: 4, best: 2 });
    expect(stopsAt({ patience: 2 }, [5, 4, 4.5, 3.9, 4])).toEqual({ stopped: undefined, best: 4 });
  });

  it("does not wait without patience, but sees two epochs", () => {
    expect(stopsAt({}, [1, 2])).toEqual({ stopped: 2, best: 1 });
  });

  it("knows that more accuracy is better", () => {
    expect(stopsAt({ patience: 1 }, [0.5, 0.7, 0.6], "val_accuracy")).toEqual({ stopped: 3, best: 2 });
  });

  it("takes a smaller change than minDelta for none", () => {
    expect(stopsAt({ minDelta: 0.1, patience: 1 }, [1, 0.95])).toEqual({ stopped: 2, best: 1 });
  });

  it("wants the baseline to be passed, and waits for its first epoch", () => {
    expect(stopsAt({ baseline: 0.5, patience: 2 }, [0.9, 0.8, 0.7])).toEqual({ stopped: 2, best: 2 });
    expect(stopsAt({ startFromEpoch: 3, patience: 1 }, [1, 2, 3, 4, 5])).toEqual({ stopped: 5, best: 4 });
  });
});

const factors = (settings: object, values: number[]) =>
  walk({ reduceLearningRateOnPlateau: settings }, values).map(({ rateFactor }) => Number(rateFactor.toPrecision(6)));

describe("Reduction of the learning rate", () => {
  it("multiplies the rate after so many epochs without improvement", () => {
    expect(factors({ patience: 2, factor: 0.5 }, [1, 1, 1, 1, 1])).toEqual([1, 1, 0.5, 0.5, 0.25]);
    expect(factors({ patience: 2 }, [1, 0.9, 0.8, 0.7])).toEqual([1, 1, 1, 1]);
  });

  it("waits after a change, and never goes below the least rate", () => {
    expect(factors({ patience: 1, factor: 0.5, cooldown: 2 }, [1, 1, 1, 1, 1])).toEqual([1, 0.5, 0.5, 0.25, 0.25]);
    expect(factors({ patience: 1, factor: 0.1, minLearningRate: 0.05 }, [1, 1, 1])).toEqual([1, 0.5, 0.5]);
  });
});
