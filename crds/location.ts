/** Where things are: in volumes, object stores, registries and on web servers, and how to get at them. */
import { z } from "zod";
import { ObjectName } from "./schema.ts";

/** No dot-leading segment, so neither `..` nor hidden files can be named; no user, query or fragment, so no credentials. */
const SEGMENT = "[A-Za-z0-9_][A-Za-z0-9._=+-]*";
const PLAIN = "[A-Za-z0-9_][A-Za-z0-9._-]*";
const HOST = "[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?";

const PVC = `pvc://[a-z0-9]([-a-z0-9]*[a-z0-9])?(/${PLAIN})+`;
const BUCKET = `(s3|gs)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/${SEGMENT})+`;
const WEB = `https://${HOST}(/${SEGMENT})+`;
const OCI = `oci://${HOST}(/[a-z0-9][a-z0-9._-]*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})`;

const uri = (forms: readonly string[], description: string) =>
  z
    .string()
    .max(512)
    .regex(new RegExp(`^(${forms.join("|")})$`))
    .meta({ description });

export const Uri = uri(
  [PVC, BUCKET, WEB, OCI],
  "Where it is: pvc://CLAIM/PATH in a PersistentVolumeClaim of this namespace, s3://BUCKET/KEY, gs://BUCKET/KEY, https://HOST/PATH, or oci://REGISTRY/REPOSITORY with :TAG or @sha256:DIGEST",
);

export const OutputUri = uri(
  [PVC, BUCKET],
  "Where it goes: pvc://CLAIM/PATH, a path in a PersistentVolumeClaim of this namespace, s3://BUCKET/KEY or gs://BUCKET/KEY",
);

/** How to get at a URI that is not in a volume. */
export const accessShape = {
  credentials: z
    .strictObject({ secretName: ObjectName.meta({ description: "Name of the Secret, in the same namespace" }) })
    .optional()
    .meta({
      description:
        "Secret that is mounted into the pod: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN for s3 and gs (HMAC keys); token, or username and password, for https and oci; .dockerconfigjson for oci",
    }),
  endpoint: z
    .string()
    .max(256)
    .regex(new RegExp(`^https?://${HOST}$`))
    .optional()
    .meta({ description: "s3, gs and oci: base URL of the service, where it is not the public one" }),
  region: z
    .string()
    .max(63)
    .regex(/^[a-z0-9-]+$/)
    .optional()
    .meta({ description: "Region of the bucket; default: us-east-1 for s3, auto for gs" }),
  caBundle: z
    .strictObject({ configMapName: ObjectName.meta({ description: "Name of the ConfigMap, in the same namespace" }) })
    .optional()
    .meta({
      description: "ConfigMap whose key ca.crt has the authorities that the service's certificate is signed by",
    }),
};

const Access = z.strictObject(accessShape);

export type Access = z.output<typeof Access>;

interface Located extends Access {
  uri?: string | undefined;
  features?: string | undefined;
  labels?: string | undefined;
  weights?: string | undefined;
}

const FIELDS = ["uri", "features", "labels", "weights"] as const;

type Field = (typeof FIELDS)[number];

/** The rules that fields of access fit the schemes of the URIs in `fields`. */
export function accessRules(fields: readonly Field[]) {
  const some = (schemes: readonly string[]) =>
    fields
      .flatMap((field) => schemes.map((scheme) => `(has(self.${field}) && self.${field}.startsWith('${scheme}://'))`))
      .join(" || ");
  const holds = (located: Located, schemes: readonly string[]) =>
    fields.some((field) => schemes.some((scheme) => located[field]?.startsWith(`${scheme}://`) === true));
  const rule = (name: keyof Access, schemes: readonly string[]) => ({
    rule: `!has(self.${name}) || ${some(schemes)}`,
    message: `${name} belongs to URIs that begin with ${schemes.map((scheme) => `${scheme}://`).join(", ")}; remove it, or correct the URI`,
    fieldPath: `.${name}`,
    holds: (located: Located) => located[name] === undefined || holds(located, schemes),
  });
  return [
    rule("credentials", ["s3", "gs", "https", "oci"]),
    rule("endpoint", ["s3", "gs", "oci"]),
    rule("region", ["s3", "gs"]),
    rule("caBundle", ["s3", "gs", "https", "oci"]),
  ];
}

/** The fields of `located` that say how to get at it. */
export function accessOf({ credentials, endpoint, region, caBundle }: Access): Access {
  return {
    ...(credentials === undefined ? {} : { credentials }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(caBundle === undefined ? {} : { caBundle }),
  };
}
