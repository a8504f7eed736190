/** Wheels on PyPI, by variant and processor. The CPU libraries for arm64 are in the package that has the CUDA ones for x64. */
export const WHEELS = {
  cpu: {
    x64: {
      distribution: "tensorflow-cpu",
      version: "2.21.0",
      platform: "manylinux_2_27_x86_64",
      sha256: "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
    },
    arm64: {
      distribution: "tensorflow",
      version: "2.21.0",
      platform: "manylinux_2_27_aarch64",
      sha256: "4b24aca16d527a3cf1c37f720c04c484c3d20f4d0fdfa98632ac8b9f3be6eb5c",
    },
  },
  gpu: {
    x64: {
      distribution: "tensorflow",
      version: "2.21.0",
      platform: "manylinux_2_27_x86_64",
      sha256: "9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124",
    },
  },
} as const;
