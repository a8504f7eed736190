import { Resolver } from "node:dns/promises";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startService } from "./service.ts";
import { network } from "./network.ts";

/** Cluster names for pods: CoreDNS on the node's address, reading Services from the API server. */
export async function startDns({
  bin,
  state,
  kubeconfig,
}: {
  bin: string;
  state: string;
  kubeconfig: string;
}): Promise<void> {
  const config = join(state, "config", "Corefile");
  await writeFile(
    config,
    `.:53 {
    bind ${network.node}
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig ${kubeconfig} modelwright
        ttl 5
    }
}
`,
  );
  await startService({ state, name: "coredns" }, { path: join(bin, "coredns"), args: ["-conf", config] }, dnsAnswers);
}

/** Is the API server's own Service found by its name? */
export async function dnsAnswers(): Promise<boolean> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([network.node]);
  return resolver.resolve4("kubernetes.default.svc.cluster.local").then(
    ([address]) => address === network.kubernetesService,
    () => false,
  );
}
