import { command, succeeds } from "../test/cluster/command.ts";

/** Does a Docker engine answer? */
export function dockerAnswers(): Promise<boolean> {
  return succeeds("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: 10_000 });
}

/** Builds all stages of a Dockerfile inside Docker and writes the image to an archive. */
export async function dockerBuild({
  dockerfile,
  context,
  tag,
  args,
  archive,
}: {
  dockerfile: string;
  context: string;
  tag: string;
  args: Record<string, string>;
  archive: string;
}): Promise<void> {
  const pairs = Object.entries(args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
  await command("docker", ["build", "--file", dockerfile, "--tag", tag, ...pairs, context], {
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  await command("docker", ["save", "--output", archive, tag]);
}
