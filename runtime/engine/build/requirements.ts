/** Programs that the native step needs. */
import { run } from "./run.ts";

interface Requirement {
  program: string;
  args: string[];
  /** What to install where it is missing. */
  packages: string;
}

const REQUIREMENTS: Requirement[] = [
  { program: "python3", args: ["--version"], packages: "python3" },
  { program: "python3", args: ["-m", "pip", "--version"], packages: "python3-pip" },
  { program: "g++", args: ["--version"], packages: "g++" },
  { program: "make", args: ["--version"], packages: "make" },
  { program: "strip", args: ["--version"], packages: "binutils" },
];

/** Debian packages of the programs that are missing. */
export async function missingPackages(): Promise<string[]> {
  const checks = REQUIREMENTS.map(({ program, args, packages }) =>
    run(program, args).then(
      () => [],
      () => [packages],
    ),
  );
  return (await Promise.all(checks)).flat();
}
