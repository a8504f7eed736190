import { Account } from "./account.ts";

it("adds what former processes have used, once", () => {
  let seconds = 1;
  const account = new Account({ read: () => ({ allottedCpuSeconds: seconds, cpuSeconds: seconds / 2 }) });
  expect(account.read()).toEqual({ allottedCpuSeconds: 1, cpuSeconds: 0.5 });
  account.goOn({ allottedCpuSeconds: 10, cpuSeconds: 5 });
  seconds = 2;
  expect(account.read()).toEqual({ allottedCpuSeconds: 12, cpuSeconds: 6 });
  // Another worker was lost, and this process goes on from what it has saved itself.
  account.goOn({ allottedCpuSeconds: 12, cpuSeconds: 6 });
  expect(account.read()).toEqual({ allottedCpuSeconds: 12, cpuSeconds: 6 });
});

it("a process that follows no other has only its own", () => {
  const account = new Account({ read: () => ({ allottedCpuSeconds: 1, cpuSeconds: 1 }) });
  account.goOn(undefined);
  account.goOn({ allottedCpuSeconds: 1, cpuSeconds: 1 });
  expect(account.read()).toEqual({ allottedCpuSeconds: 1, cpuSeconds: 1 });
});
