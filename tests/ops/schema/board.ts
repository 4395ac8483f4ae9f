// A dashboard as Grafana's published types have it, made strict: the options of
// a panel are those of its kind, its queries are Prometheus's, and what the
// types do not name is an error.

import type * as grafana from '@grafana/schema';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';

// As it is written down: an enumeration's value is its text or number.
type Json<T> =
    T extends string ? `${T}` :
    T extends number ? (`${T}` extends `${infer N extends number}` ? N : never) :
    T extends boolean | null | undefined ? T :
    T extends (infer E)[] ? Json<E>[] :
    T extends object ? { [K in keyof T]: Json<T[K]> } :
    T;

// Without index signatures, which would let every name pass.
type Named<T> = { [K in keyof T as string extends K ? never : K]: T[K] };

type Defaults<Custom> =
    Omit<Named<grafana.FieldConfig>, 'custom'> & { custom: Custom };

type PanelOf<Kind extends string, Options, Custom> =
    Omit<grafana.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' |
                        'title' | 'description' | 'id' | 'gridPos' | 'datasource'> &
    {
      type: Kind;
      id: number;
      title: string;
      description: string;
      datasource: grafana.DataSourceRef;
      gridPos: grafana.GridPos;
      options: Options;
      fieldConfig: Omit<grafana.FieldConfigSource, 'defaults'> &
                   { defaults: Defaults<Custom> };
      targets: Omit<prometheus.Dataquery, '_implementsDataqueryVariant'>[];
    };

// These kinds have no configuration of fields but the common one.
type None = Record<string, never>;

type Panel =
    PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig> |
    PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig> |
    PanelOf<'stat', stat.Options, None> |
    PanelOf<'barchart', barchart.Options, barchart.FieldConfig> |
    PanelOf<'table', table.Options, table.FieldConfig> |
    grafana.RowPanel;

export type Board =
    Json<Omit<grafana.Dashboard, 'panels'> & { panels: Panel[] }>;
