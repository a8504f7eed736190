import { gunzipSync } from "node:zlib";
import { packed, takesGzip } from "./pack.ts";

const reply = (body: string | Buffer) => ({ status: 200, headers: { "Content-Type": "application/json" }, body });

describe("packing of answers", () => {
  it.each([
    ["gzip", true],
    ["deflate, GZIP;q=0.5", true],
    ["*", true],
    ["br, deflate", false],
    ["gzip;q=0, *", false],
    ["identity", false],
    ["", false],
  ])("knows whether a client that accepts %j takes gzip", (accepted, takes) => {
    expect(takesGzip(accepted)).toBe(takes);
  });

  it("packs what is large enough for who takes it, and nothing else", async () => {
    const large = "1.5,".repeat(1000);
    const answer = await packed(reply(large), "gzip");
    expect(answer.headers).toEqual({
      "Content-Type": "application/json",
      "Content-Encoding": "gzip",
      Vary: "Accept-Encoding",
    });
    expect(gunzipSync(answer.body).toString()).toBe(large);
    for (const [body, accepted] of [
      [large, undefined],
      [large, "br"],
      ["small", "gzip"],
    ] as const) {
      expect(await packed(reply(body), accepted)).toEqual(reply(body));
    }
  });
});
