-- The folder of the Parquet export, from bi/evidence. Here the demo's; of a workspace: ../../data/report/parquet/latest
SET file_search_path = '../../data/demo/report/parquet/latest';
