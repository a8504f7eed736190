import { expect, it } from "@jest/globals";
import { parse } from "yaml";
import { crdYaml } from "./crd.ts";
import { KINDS } from "./kinds.ts";

it.each(KINDS.map((kind) => ({ name: kind.kind, kind })))(
  "$name says the same to programs that read n, on and off as true and false, as kubectl and helm do",
  ({ kind }) => {
    const text = crdYaml(kind);
    expect(parse(text, { version: "1.1" })).toEqual(parse(text));
  },
);
