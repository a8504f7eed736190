/** Annotations by which the operator recognizes its own Jobs. */
export const RUN_ANNOTATIONS = {
  /** Hash of all that a new attempt may depend on: image, resources, GPU, pod, limits of time and tries. */
  attempt: "modelwright.dev/attempt",
  /** Hash of the part of it that a Job cannot change. */
  template: "modelwright.dev/template",
} as const;
