import { command } from "../test/cluster/command.ts";

/** The commit that last changed any of the paths, with `-dirty` where they have changes on top; `unknown` outside a repository. */
export async function revision(root: string, paths: string[]): Promise<string> {
  const git = (...args: string[]): Promise<string> => command("git", ["-C", root, ...args, "--", ...paths]);
  try {
    const commit = (await git("log", "-1", "--format=%H")).trim();
    const changes = await git("status", "--porcelain");
    return `${commit || "unknown"}${changes === "" ? "" : "-dirty"}`;
  } catch {
    return "unknown";
  }
}
