/** gRPC's own health protocol: the server as a whole, and the inference service. */
import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";

interface HealthRequest {
  readonly service?: string;
}
interface HealthResponse {
  readonly status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}

const LOOK_MILLISECONDS = 500;

/** `services`: full names besides the empty one, which means the server. */
export function healthService(ready: () => boolean, services: readonly string[]): UntypedServiceImplementation {
  const known = new Set(["", ...services]);
  const stateOf = (service = ""): HealthResponse => ({
    status: !known.has(service) ? "SERVICE_UNKNOWN" : ready() ? "SERVING" : "NOT_SERVING",
  });
  return {
    Check: ({ request }: ServerUnaryCall<HealthRequest, HealthResponse>, callback: sendUnaryData<HealthResponse>) => {
      const state = stateOf(request.service);
      if (state.status !== "SERVICE_UNKNOWN") return callback(null, state);
      callback({ code: status.NOT_FOUND, details: `there is no service ${request.service}` });
    },
    Watch: (stream: ServerWritableStream<HealthRequest, HealthResponse>) => {
      let told: HealthResponse["status"] | undefined;
      const tell = () => {
        const state = stateOf(stream.request.service);
        if (state.status !== told) stream.write(state);
        told = state.status;
      };
      tell();
      const timer = setInterval(tell, LOOK_MILLISECONDS);
      stream.on("cancelled", () => clearInterval(timer));
      stream.on("close", () => clearInterval(timer));
    },
  };
}
