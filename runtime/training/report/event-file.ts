/**
 * What epochs gave as TensorBoard reads it: a TFRecord file of Event messages (tensorflow/core/util/event.proto), with
 * the tags that Keras' TensorBoard callback uses.
 */
import { ProtobufWriter } from "../../compiler/protobuf.ts";
import { record } from "../../data/tf-record.ts";
import type { HistoryEntry } from "../history.ts";

/** Field numbers of Event, Summary and Summary.Value. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 };
const VALUE = { tag: 1, simpleValue: 2 };

function event(time: number): ProtobufWriter {
  return new ProtobufWriter().double(EVENT.wallTime, time / 1000);
}

function scalar(tag: string, value: number): ProtobufWriter {
  const inner = new ProtobufWriter().string(VALUE.tag, tag).float(VALUE.simpleValue, value);
  return new ProtobufWriter().message(1, inner);
}

/** Tags and values of an epoch, of the training or of its validation. */
function scalars({ values, learningRate }: HistoryEntry, validation: boolean): [tag: string, value: number][] {
  const own = Object.entries(values).filter(([name]) => name.startsWith("val_") === validation);
  const tagged = own.map(([name, value]): [string, number] => [`epoch_${name.replace(/^val_/, "")}`, value]);
  return validation ? tagged : [...tagged, ["epoch_learning_rate", learningRate]];
}

/** The bytes of an event file; undefined when there is nothing to tell. */
export function eventFile(history: readonly HistoryEntry[], validation: boolean): Uint8Array | undefined {
  const events = history.flatMap((entry) =>
    scalars(entry, validation).map(([tag, value]) =>
      event(entry.time)
        .integer(EVENT.step, entry.epoch - 1)
        .message(EVENT.summary, scalar(tag, value)),
    ),
  );
  if (events.length === 0) return undefined;
  const version = event(history[0]?.time ?? 0).string(EVENT.fileVersion, "brain.Event:2");
  return Buffer.concat([version, ...events].map((message) => record(message.finish())));
}
