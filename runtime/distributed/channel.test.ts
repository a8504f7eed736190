import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { Channel, PeerLost } from "./channel.ts";

const open: (Server | Socket)[] = [];

afterEach(() => {
  for (const one of open.splice(0))
    if ("destroy" in one) one.destroy();
    else one.close();
});

async function pair(): Promise<[Socket, Socket]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const caller = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const sockets: [Socket, Socket] = [caller, await accepted];
  open.push(server, ...sockets);
  return sockets;
}

const watch = { beatMilliseconds: 10, silenceMilliseconds: 100 };

it("one that says nothing any more is lost, as a node is that goes without a word", async () => {
  const [one] = await pair();
  const channel = new Channel(one, "worker 1", watch);
  await expect(channel.receive(new Float32Array(1))).rejects.toThrow(PeerLost);
  expect(channel.lost?.message).toBe("worker 1 is lost: it has said nothing for 0.1 s");
});

it("one that only says that it lives is waited for, and what it then sends arrives whole", async () => {
  // Beats are far more frequent than silence may be long: a busy machine loses none of these.
  const patient = { beatMilliseconds: 5, silenceMilliseconds: 20_000 };
  const [one, other] = await pair();
  const [receiver, sender] = [new Channel(one, "worker 1", patient), new Channel(other, "worker 0", patient)];
  const values = new Float32Array(3);
  const received = receiver.receive(values);
  const heard = one.bytesRead;
  while (one.bytesRead < heard + 40) await new Promise((resolve) => setTimeout(resolve, 5));
  await sender.send(Float32Array.of(1, 2, 3));
  await received;
  expect([...values]).toEqual([1, 2, 3]);
  expect(receiver.lost).toBeUndefined();
});
