/** The program as a test starts it: `serve` alone. */
import { serve } from "../main.ts";

process.exitCode = await serve(process.argv.slice(2));
