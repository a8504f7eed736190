/** Short names for the parts of pods. */
import type { IPodTemplateSpec } from "kubernetes-models/v1/PodTemplateSpec";

export type PodTemplate = IPodTemplateSpec;
export type PodSpec = NonNullable<IPodTemplateSpec["spec"]>;
export type Container = PodSpec["containers"][number];
export type Affinity = NonNullable<PodSpec["affinity"]>;
export type Toleration = NonNullable<PodSpec["tolerations"]>[number];
export type Volume = NonNullable<PodSpec["volumes"]>[number];
export type VolumeMount = NonNullable<Container["volumeMounts"]>[number];
