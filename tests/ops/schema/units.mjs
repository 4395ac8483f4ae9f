// Prints the ids of Grafana's units, as Grafana publishes them.
import * as units from '@grafana/grafana-foundation-sdk/units';

console.log(JSON.stringify(
    Object.values(units).filter((unit) => typeof unit === 'string')));
